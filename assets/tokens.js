const box = element.querySelector('.lab-tokens');
function draw() {
  const cells = props.value ? JSON.parse(props.value) : [];
  box.replaceChildren(...cells.map(([text, color, tooltip]) => {
    const cell = document.createElement('span');
    cell.textContent = text;
    cell.title = tooltip;
    cell.style.backgroundColor = color;
    return cell;
  }));
}
watch('value', draw);
draw();
