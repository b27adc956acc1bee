(async () => {
  const charts = [...document.querySelectorAll(".chart")];
  const unpack = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const narrow = ({ margin, title }) => ({
    margin: { ...margin, l: Math.min(margin?.l ?? 50, 50) },
    title: { ...title, font: { ...title?.font, size: 14 } },
  });
  try {
    const script = document.createElement("script");
    script.textContent = await unpack("plotly");
    document.head.append(script);
    for (const chart of charts) {
      const { data, layout } = JSON.parse(chart.nextElementSibling.textContent);
      if (innerWidth < 640) Object.assign(layout, narrow(layout));
      await Plotly.newPlot(chart, data, layout, { responsive: true, displaylogo: false, displayModeBar: "hover" });
    }
  } catch (error) {
    for (const chart of charts) if (!chart.firstChild) chart.textContent = `This chart could not be drawn: ${error}`;
  }
  const paper = (width) => charts.forEach((chart) => chart.layout && Plotly.relayout(chart, width));
  addEventListener("beforeprint", () => paper({ width: 680 }));
  addEventListener("afterprint", () => paper({ width: null, autosize: true }));
  document.documentElement.dataset.drawn = charts.length;
})();
