// An answer that is edited in its row: the field gets the focus in view, and what is typed outlives every redrawing of
// the table until it is saved or cancelled. Escape cancels, Control+Enter saves.
const typed = new Map();
let opened = '', left = '';
const settle = () => {
  const form = element.querySelector('form[data-edits]');
  const id = form ? form.dataset.edits : '';
  if (form) {
    const field = form.querySelector('textarea');
    if (typed.has(id)) field.value = typed.get(id);
    if (id !== opened || field.hasAttribute('aria-invalid')) {
      field.focus({preventScroll: true});
      form.scrollIntoView({block: 'nearest'});
    }
  } else if (left) {
    if (document.activeElement === document.body) element.querySelector(`#edit-${CSS.escape(left)}`)?.focus({preventScroll: true});
    left = '';
  }
  opened = id;
};
element.addEventListener('input', (event) => {
  const form = event.target.closest('form[data-edits]');
  if (form) typed.set(form.dataset.edits, event.target.value);
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('form[data-edits] [data-act]');
  if (button) { left = button.dataset.ids; typed.delete(left); }
}, true);
element.addEventListener('keydown', (event) => {
  const form = event.target.closest('form[data-edits]');
  const act = event.key === 'Escape' ? 'cancel' : event.key === 'Enter' && (event.ctrlKey || event.metaKey) ? 'save' : '';
  if (form && act) { event.preventDefault(); form.querySelector(`[data-act=${act}]`).click(); }
});
watch('value', settle);
