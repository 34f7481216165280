// Keeps the address of the page: ?tab=...&section=...&run=...&step=...&response=..., and the title of the browser's tab.
// Tab and section are read from the page itself, the rest is what the server says it has drawn (props.value, JSON).
// One thing a person does is at most one step back; what changes by itself only rewrites the address.
const PATIENCE = 5000;
let said = {run: '', step: null, response: null};
let asked = null;  // where back or forward led to, until the server says that it is drawn
let gestures = 0, pushedAt = -1, restoredAt = 0, isRestoring = false;

const pause = () => new Promise(done => setTimeout(done, 30));
const tabs = () => [...document.querySelectorAll('#lab-tabs > .tab-wrapper [role=tab]')];
const chosen = (buttons) => buttons.find(button => button.getAttribute('aria-selected') === 'true');
const sections = () => [...document.querySelectorAll(
  `#tab-${CSS.escape(chosen(tabs())?.dataset.tabId ?? '')} .lab-sections > .tab-wrapper [role=tab]`)];
const named = (buttons) => {  // the first one goes without saying
  const button = chosen(buttons);
  return button && button !== buttons[0] ? button.dataset.tabId : null;
};

function write() {
  if (isRestoring) return;
  const url = new URL(location.href), now = Object.fromEntries(url.searchParams);
  // What the address asked for is still on its way, or was refused: it stays until the person does something.
  if (gestures === restoredAt && now.run && now.run !== said.run) return;
  const tab = named(tabs()), isWatch = tab === 'watch';
  const wanted = {tab, section: named(sections()), run: said.run,
    step: isWatch ? said.step : null, response: isWatch ? said.response : null};
  for (const [name, value] of Object.entries(wanted)) {
    if (value === null || value === '') url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  if (url.href === location.href) return;
  const differs = (name) => (now[name] ?? null) !== (wanted[name] || null);
  const isMove = differs('tab') || differs('section') || (now.run && differs('run'));
  const isNew = isMove && gestures !== pushedAt && gestures !== restoredAt;
  if (isNew) pushedAt = gestures;
  history[isNew ? 'pushState' : 'replaceState'](history.state, '', url);
}

async function found(buttons, until = Date.now() + PATIENCE) {
  while (!buttons().length && Date.now() < until) await pause();
  return buttons();
}

async function show(buttons, name) {
  const all = await found(buttons), button = all.find(each => each.dataset.tabId === name) ?? all[0];
  if (button && button !== chosen(all)) button.click();
  await pause();
}

async function restore() {
  const now = new URLSearchParams(location.search);
  restoredAt = gestures;
  isRestoring = true;
  await show(tabs, now.get('tab'));
  if (now.get('section') || sections().length) await show(sections, now.get('section'));
  isRestoring = false;
  write();
}

window.labAddress?.abort();
window.labAddress = new AbortController();
const options = {capture: true, signal: window.labAddress.signal};
for (const kind of ['click', 'keydown']) {
  document.addEventListener(kind, () => { if (!isRestoring) gestures += 1; }, options);
}
window.addEventListener('popstate', () => {
  const now = Object.fromEntries(new URLSearchParams(location.search)), shown = asked ?? said;
  const differs = (name) => (now[name] ?? '') !== String(shown[name] ?? '');
  const isElsewhere = now.run && (differs('run') || (now.tab === 'watch' && (differs('step') || differs('response'))));
  restore();
  if (!isElsewhere) return;
  asked = {run: now.run, step: now.step, response: now.response};
  trigger('go', {});
}, options);

watch('value', () => {
  if (!props.value) return;
  said = JSON.parse(props.value);
  if (said.run === asked?.run || gestures !== restoredAt) asked = null;
  document.title = said.title;
  write();
});
restore().then(() => {
  const observer = new MutationObserver(write);
  observer.observe(document.querySelector('#lab-tabs'), {subtree: true, attributeFilter: ['aria-selected']});
  options.signal.addEventListener('abort', () => observer.disconnect());
});
