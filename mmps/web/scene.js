// Shows the scene in a dialog, which keeps the keyboard and closes with Escape.
const dialog = document.createElement('dialog');
dialog.className = 'ps-dialog';
dialog.setAttribute('aria-label', 'Scene of the match');
document.body.append(dialog);
let shift = 0;
const clock = (seconds) => {
  const tenths = Math.round(10 * seconds), minutes = Math.floor(tenths / 600), rest = tenths % 600;
  const two = (number) => String(number).padStart(2, '0');
  const hours = Math.floor(minutes / 60);
  return `${hours}:${two(minutes % 60)}:${two(Math.floor(rest / 10))}.${rest % 10}`;
};
const step = (by) => {
  const stage = dialog.querySelector('.ps-stage'), image = stage.querySelector('img');
  const bar = dialog.querySelector('.ps-steps'), status = bar.querySelector('[role=status]');
  const wanted = by === 0 ? 0 : shift + by, offset = Number(bar.dataset.offset);
  const frame = stage.dataset.frame, next = new Image();
  next.onload = () => {
    shift = wanted;
    image.src = next.src;
    stage.classList.toggle('ps-elsewhere', shift !== 0);
    status.textContent = clock(offset + shift);
  };
  next.onerror = () => (status.textContent = 'The video does not go further.');
  next.src = wanted === 0 ? frame : `${frame}?shift=${wanted}`;
};
dialog.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (event.target === dialog || button?.hasAttribute('data-close')) dialog.close();
  else if (button?.dataset.step !== undefined) step(Number(button.dataset.step));
  else if (button?.dataset.act) {
    trigger('act', {...button.dataset});
    dialog.close();
  }
});
dialog.addEventListener('error', (event) => {
  if (event.target.tagName !== 'VIDEO') return;
  const note = document.createElement('p');
  note.className = 'ps-note';
  note.textContent = 'This browser cannot play the file itself; the buttons step through it.';
  event.target.replaceWith(note);
}, true);
dialog.addEventListener('close', () => {
  dialog.querySelector('video')?.pause();
  props.value = '';
});
watch('value', () => {
  if (!props.value) return;
  shift = 0;
  dialog.innerHTML = props.value;
  if (!dialog.open) dialog.showModal();
  dialog.querySelector('[data-close]').focus();
});
