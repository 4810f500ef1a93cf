// Sends a picture that was chosen, dropped or pasted; tells the server who in it was clicked.
const say = (text) => {
  const note = element.querySelector('[role=status], .ps-drop-big');
  if (note) note.textContent = text;
};
const send = async (file) => {
  if (!file || element.dataset.busy) return;
  const name = file.name || 'pasted picture';
  element.dataset.busy = '1';
  say('Looking for people …');
  try {
    const answer = await fetch('picture', {method: 'POST', body: file});
    const text = await answer.text();
    if (answer.ok) trigger('picture', {token: text, name});
    else trigger('refused', {name, reason: text});
  } catch {
    say('The server does not answer. Is it still running?');
  } finally {
    delete element.dataset.busy;
  }
};
element.addEventListener('change', (event) => {
  if (event.target.type === 'file') {
    send(event.target.files[0]);
    event.target.value = '';
  }
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-person]');
  if (!button) return;
  // the same hits again change nothing, so that nothing else would lead there
  const jump = document.querySelector('#jump a');
  if (button.getAttribute('aria-pressed') === 'true' && jump?.offsetParent) jump.click();
  trigger('person', {number: Number(button.dataset.person)});
});
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  element.addEventListener(name, (event) => {
    event.preventDefault();
    element.classList.toggle('ps-over', name === 'dragenter' || name === 'dragover');
    if (name === 'drop') send(event.dataTransfer.files[0]);
  });
}
document.addEventListener('paste', (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  const file = files.find((each) => each.type.startsWith('image/'));
  if (file) {
    event.preventDefault();
    send(file);
  }
});
