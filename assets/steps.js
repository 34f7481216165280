const slider = element.querySelector('input');
const output = element.querySelector('output');
let steps = [], isHeld = false, isStale = false;

function tell() {
  const at = Number(slider.value);
  slider.dataset.step = at < steps.length - 1 ? steps[at] : '';  // '' is the newest, whichever that becomes
  const words = steps.length
    ? `step ${steps[at].toLocaleString('en')} (${at + 1} of ${steps.length} recorded)` : 'none yet';
  output.textContent = words;
  slider.setAttribute('aria-valuetext', words);
}

function draw() {
  if (isHeld) { isStale = true; return; }  // not under the person's hand
  const sent = props.value ? JSON.parse(props.value) : {steps: [], step: null};
  steps = sent.steps;
  slider.max = Math.max(0, steps.length - 1);
  slider.value = Math.max(0, steps.indexOf(sent.step));
  slider.disabled = steps.length < 2;
  tell();
}

slider.addEventListener('input', () => {
  tell();
  trigger('input');
});
slider.addEventListener('pointerdown', () => { isHeld = true; });
for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => {
  isHeld = false;
  if (!isStale) return;
  isStale = false;
  const kept = steps[Number(slider.value)];
  draw();
  slider.value = Math.max(0, steps.indexOf(kept));
  tell();
});
watch('value', draw);
draw();
