const box = element.querySelector('.lab-tokens');
const values = element.querySelector('.lab-token-values');
const says = element.querySelector('.lab-data');
let chosen = -1;  // the place of the token that was chosen; it stays when the tokens change

const place = (cell) => [...box.children].indexOf(cell);

// The values of one token, or how to ask for them.
function tell(cell) {
  if (!cell) { values.textContent = values.dataset.hint; return; }
  const name = document.createElement('b');
  name.textContent = cell.textContent;
  values.replaceChildren(name, '\n' + cell.dataset.tip);
}

function choose(at) {
  chosen = Math.max(0, Math.min(at, box.children.length - 1));
  mark();
}

function mark() {
  [...box.children].forEach((cell, at) => {
    cell.tabIndex = at === Math.max(chosen, 0) ? 0 : -1;
    cell.setAttribute('aria-selected', String(at === chosen));
  });
  tell(box.children[chosen]);
}

function draw() {
  const {cells, says: sentence} = props.value ? JSON.parse(props.value) : {cells: [], says: ''};
  const hadFocus = box.contains(document.activeElement);
  box.replaceChildren(...cells.map(([text, color, tip]) => {
    const cell = document.createElement('span');
    cell.setAttribute('role', 'option');
    cell.setAttribute('aria-label', `${text.trim() || 'space'}: ${tip.replaceAll('\n', ', ')}`);
    cell.textContent = text;
    cell.dataset.tip = tip;
    cell.style.backgroundColor = color;
    return cell;
  }));
  says.textContent = sentence || '';
  box.hidden = values.hidden = !cells.length;
  chosen = Math.min(chosen, cells.length - 1);
  mark();
  if (hadFocus) box.children[Math.max(chosen, 0)]?.focus({preventScroll: true});
}

box.addEventListener('keydown', (event) => {
  const at = place(event.target), last = box.children.length - 1;
  const to = {ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: last,
    Enter: at, ' ': at}[event.key];
  if (at < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  choose(to);
  box.children[chosen].focus();
});
box.addEventListener('focusin', (event) => { if (place(event.target) !== chosen) choose(place(event.target)); });
box.addEventListener('click', (event) => {
  const cell = event.target.closest('[role=option]');
  if (cell) { choose(place(cell)); cell.focus({preventScroll: true}); }
});
// A mouse only has to point; a finger's tap is a click.
box.addEventListener('pointerover', (event) => {
  if (event.pointerType === 'mouse') tell(event.target.closest('[role=option]') || box.children[chosen]);
});
box.addEventListener('pointerleave', () => tell(box.children[chosen]));
watch('value', draw);
draw();
