(async () => {
  const charts = [...document.querySelectorAll(".chart")];
  const unpack = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const wrapped = (text, width) => text.replace(/<br>/g, " ").replace(new RegExp(`(?=.{${width + 1}})(.{1,${width}}) `, "g"), "$1<br>");
  const narrow = ({ margin, title, annotations, updatemenus }) => {
    const subtitle = wrapped(title?.subtitle?.text ?? "", 44);
    const lines = subtitle.split("<br>").length;
    return {
      margin: { ...margin, l: Math.min(margin?.l ?? 50, 50), t: (margin?.t ?? 80) + 14 * (lines - 1) },
      title: {
        ...title,
        x: 0,
        font: { ...title?.font, size: 14 },
        subtitle: { ...title?.subtitle, text: subtitle, font: { ...title?.subtitle?.font, size: 10 } },
      },
      annotations: annotations?.map((one) => ({ ...one, text: one.text && wrapped(one.text, 46) })),
      updatemenus: updatemenus?.map((one) => ({ ...one, pad: { r: 0 } })),
    };
  };
  const night = JSON.parse(document.getElementById("night").textContent);
  const repainted = (part, attribute = "") => {
    if (Array.isArray(part)) return part.map((one) => repainted(one, attribute));
    if (part && typeof part === "object") {
      const kept = (key) => key === "meta" || key === "template";
      return Object.fromEntries(Object.entries(part).map(([key, one]) => [key, kept(key) ? one : repainted(one, key)]));
    }
    return /(color|colors|colorscale|colorway)$/.test(attribute) ? (night.colours[part] ?? part) : part;
  };
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const figures = charts.map((chart) => JSON.parse(chart.nextElementSibling.textContent));
  const draw = (isDark) =>
    Promise.all(
      charts.map((chart, at) => {
        const { data, layout } = isDark ? repainted(figures[at]) : structuredClone(figures[at]);
        if (isDark) layout.template = night.template;
        return Plotly.react(chart, data, layout, { responsive: true, displaylogo: false, displayModeBar: "hover" });
      }),
    );
  try {
    const script = document.createElement("script");
    script.textContent = await unpack("plotly");
    document.head.append(script);
    if (innerWidth < 640) for (const { layout } of figures) Object.assign(layout, narrow(layout));
    await draw(prefersDark.matches);
    prefersDark.addEventListener("change", () => draw(prefersDark.matches));
  } catch (error) {
    for (const chart of charts) if (!chart.firstChild) chart.textContent = `This chart could not be drawn: ${error}`;
  }
  const resize = (chart, size, height) => {
    if (!chart.layout) return;
    chart.style.height = `${height}px`;
    Plotly.relayout(chart, { ...size, height });
  };
  const heights = charts.map((chart) => chart.offsetHeight);
  const lowest = (height) => Math.min(height, 780);
  addEventListener("beforeprint", () => {
    if (prefersDark.matches) draw(false);
    charts.forEach((chart, at) => resize(chart, { width: 680 }, lowest(heights[at])));
  });
  addEventListener("afterprint", () => {
    charts.forEach((chart, at) => resize(chart, { width: null, autosize: true }, heights[at]));
    if (prefersDark.matches) draw(true);
  });
  document.documentElement.dataset.drawn = charts.length;
})();
