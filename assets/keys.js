() => {
  // Marking by key: 1-4 preferred, Shift+1-4 dispreferred, N next prompt. Silent while a person types or the desk is hidden.
  const press = (id) => {
    const button = document.getElementById(id);
    if (!button || button.disabled || button.offsetParent === null) return false;
    button.click();
    return true;
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest('input, textarea, select, [contenteditable="true"], [role="listbox"]')) return;
    const digit = /^(?:Digit|Numpad)([1-4])$/.exec(event.code);
    const hit = digit
      ? press(`mark-${event.shiftKey ? 'disprefer' : 'prefer'}-${digit[1]}`)
      : event.key.toLowerCase() === 'n' && press('mark-next');
    if (hit) event.preventDefault();
  });
  // Tabs by arrow key, Home and End, which gradio (6.31) leaves out.
  document.addEventListener('keydown', (event) => {
    const list = event.target.closest?.('[role="tablist"]');
    if (!list || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const all = [...list.querySelectorAll('[role="tab"]:not([disabled])')], place = all.indexOf(event.target);
    const next = {ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1}[event.key];
    if (place < 0 || next === undefined) return;
    event.preventDefault();
    const tab = all[(next + all.length) % all.length];
    tab.focus();
    tab.click();
  });
}
