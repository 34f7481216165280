(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
  const color = () => getComputedStyle(document.body).color;
  for (const { id, data, layout } of figures) {
    layout.font = { ...layout.font, color: color() };
    Plotly.newPlot(id, data, layout, config);
  }
  const recolor = () => figures.forEach(({ id }) => Plotly.relayout(id, { "font.color": color() }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
  // A printed page is narrower than most screens, and always light.
  addEventListener("beforeprint", () => figures.forEach(({ id }) =>
    Plotly.relayout(id, { width: id.startsWith("curve") ? 310 : 640, "font.color": "#111111" })));
  addEventListener("afterprint", () => figures.forEach(({ id }) =>
    Plotly.relayout(id, { width: null, autosize: true, "font.color": color() })));
})();
