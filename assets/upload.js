// Refuses a file that is too large before it travels. Gradio (6.31) would upload it first, and then say so in a message
// that vanishes; this way the page's own words stay beside the field. The server has the last word all the same.
const limit = Number(element.querySelector('[data-limit]').dataset.limit);
window.labUploads?.abort();
window.labUploads = new AbortController();
const options = {capture: true, signal: window.labUploads.signal};
const look = (event, files) => {
  const large = event.target.closest?.('#upload-file') && [...(files || [])].find((file) => file.size > limit);
  if (!large) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.type === 'change') event.target.value = '';
  else event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true}));
  trigger('too_large', {name: large.name, size: large.size});
};
document.addEventListener('change', (event) => look(event, event.target.files), options);
document.addEventListener('drop', (event) => look(event, event.dataTransfer?.files), options);
