const box = element.querySelector('.lab-tokens');
function draw() {
  const cells = props.value ? JSON.parse(props.value) : [];
  box.replaceChildren(...cells.map(([text, color, tip]) => {
    const cell = document.createElement('span');
    cell.textContent = text;
    cell.dataset.tip = tip;
    cell.style.backgroundColor = color;
    return cell;
  }));
}
// Keeps a token's tooltip inside the box, also on a narrow screen.
box.addEventListener('mouseover', (event) => {
  const cell = event.target.closest('[data-tip]');
  if (!cell) return;
  const outer = box.getBoundingClientRect(), inner = cell.getBoundingClientRect();
  const left = Math.min(inner.left - outer.left, Math.max(0, outer.width - 270));
  box.style.setProperty('--tip-left', left + 'px');
  box.style.setProperty('--tip-top', (inner.bottom - outer.top + 4) + 'px');
});
watch('value', draw);
draw();
