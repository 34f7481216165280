async (text) => {
  // Draws the figure off the page, dark on white, and hands it to the browser as a file.
  const {name, format, title, figure} = JSON.parse(text);
  while (!window.Plotly) await new Promise(done => setTimeout(done, 50));
  const margin = {...figure.layout.margin, t: 24 + (figure.layout.margin?.t ?? 80)};
  const layout = {...figure.layout, margin, paper_bgcolor: '#fff', plot_bgcolor: '#fff',
    font: {...figure.layout.font, color: '#1c1f26'},
    title: {text: title, x: 0.01, xanchor: 'left', y: 1, yanchor: 'top', pad: {t: 8, l: 4}, font: {size: 15}}};
  const size = {width: 1000, height: (figure.layout.height || 420) + 24};
  const url = await window.Plotly.toImage({data: figure.data, layout}, {format, ...size, scale: format === 'png' ? 2 : 1});
  const link = document.createElement('a');
  link.href = url;
  link.download = `${name}.${format}`;
  document.body.append(link);
  link.click();
  link.remove();
}
