const box = element.querySelector('.lab-plot');
const says = element.querySelector('.lab-data');
const theme = (name, fallback) => getComputedStyle(element).getPropertyValue(name).trim() || fallback;
const CONFIG = {displaylogo: false,  // constant: a new config resets zoom
  modeBarButtonsToRemove: ['select2d', 'lasso2d', 'zoomIn2d', 'zoomOut2d', 'autoScale2d']};
let isWaiting = false, isHeld = false, isStale = false, pointer = null;

// The sentence on the data is text on the page and the plot's text alternative; it waits for nothing.
function tell() {
  const sentence = props.value ? JSON.parse(props.value).layout.meta?.says || '' : '';
  says.textContent = sentence;
  box.setAttribute('aria-label', sentence ? `${box.dataset.title}. ${sentence}` : box.dataset.title);
}

async function draw() {
  // An update would end a drag, and one on a hidden tab would be drawn at width 0: both wait.
  if (isHeld || !box.offsetWidth) { isStale = true; return; }
  if (isWaiting) return;
  isWaiting = true;
  // A hidden gr.Plot on the page loads gradio's own bundled plotly, which announces itself as window.Plotly.
  while (!window.Plotly) await new Promise(done => setTimeout(done, 50));
  isWaiting = false;
  if (!props.value) return;
  const figure = JSON.parse(props.value);
  figure.layout.font.color = theme('--body-text-color', figure.layout.font.color);
  box.style.minHeight = figure.layout.height + 'px';
  await window.Plotly.react(box, figure.data, figure.layout, CONFIG);
  for (const tool of box.querySelectorAll('.modebar-btn')) {
    tool.setAttribute('aria-label', `${tool.dataset.title}: ${box.dataset.title}`);
  }
  // react() drops the hover box: ask for it again where the pointer rests.
  if (pointer) pointer.target.dispatchEvent(new MouseEvent('mousemove', pointer));
}

box.addEventListener('mousemove', e => {
  if (e.isTrusted) pointer = {target: e.target, clientX: e.clientX, clientY: e.clientY, bubbles: true};
}, true);
box.addEventListener('mouseleave', () => { pointer = null; });
box.addEventListener('pointerdown', () => { isHeld = true; }, true);
const catchUp = () => { if (isStale) { isStale = false; draw(); } };
for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => setTimeout(() => {
  isHeld = false;
  catchUp();
}, 400), true);  // not between the clicks of a double click
new ResizeObserver(() => {
  if (!box.offsetWidth) return;
  if (box.data) window.Plotly.Plots.resize(box);
  catchUp();
}).observe(box);
watch('value', () => { tell(); draw(); });
tell();
draw();
