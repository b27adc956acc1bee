(() => {
  const numberIn = (text) => {
    const found = text.replace(/,/g, "").replace(/−/g, "-").match(/-?\d+(\.\d+)?(e[-+]?\d+)?/);
    return found ? parseFloat(found[0]) : NaN;
  };
  const textAt = (row, at) => row.cells[at].textContent.trim();
  const comparing = (at, isNumber, sign) => (a, b) => {
    if (!isNumber) return sign * textAt(a, at).localeCompare(textAt(b, at), "en", { numeric: true });
    const [x, y] = [numberIn(textAt(a, at)), numberIn(textAt(b, at))];
    return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
  };
  for (const table of document.querySelectorAll(".perflib-table table")) {
    const heads = [...table.querySelectorAll("thead th")];
    const groups = [...table.tBodies].map((body) => ({ body, rows: [...body.querySelectorAll("tr:not(.group)")] }));
    if (!groups.some(({ rows }) => rows.length > 1)) continue;
    heads.forEach((head, at) => {
      const isNumber = head.classList.contains("right");
      const orders = isNumber ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      const sort = () => {
        const order = orders[(orders.indexOf(head.ariaSort) + 1) % orders.length];
        heads.forEach((one) => (one.ariaSort = "none"));
        head.ariaSort = order;
        const compare = comparing(at, isNumber, order === "ascending" ? 1 : -1);
        for (const { body, rows } of groups) body.append(...(order === "none" ? rows : [...rows].sort(compare)));
      };
      Object.assign(head, { tabIndex: 0, ariaSort: "none", title: "Sort by this column" });
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort();
      });
    });
  }
})();
