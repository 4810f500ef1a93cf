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
// A box around somebody whom nobody found: its left, top, right and bottom as shares of the picture.
const place = (box, edges) => {
  const [left, top, right, bottom] = edges.map((share) => Math.min(1, Math.max(0, share)));
  box.dataset.edges = JSON.stringify([left, top, right, bottom]);
  const sides = {left, top, width: right - left, height: bottom - top};
  for (const [name, share] of Object.entries(sides)) box.style[name] = `${100 * share}%`;
};
const edgesOf = (box) => JSON.parse(box.dataset.edges);
const draw = () => {
  const stage = element.querySelector('.ps-stage');
  let box = stage.querySelector('.ps-drawn');
  if (!box) {
    box = document.createElement('button');
    box.type = 'button';
    box.className = 'ps-box ps-drawn';
    place(box, [.35, .1, .65, .9]);
    stage.append(box);
  }
  stage.classList.add('ps-drawing');
  box.setAttribute('aria-label', 'Box around the person. Arrow keys move it, with Shift they ' +
    'change its size. Enter searches, Escape ends.');
  box.focus();
  say('Drag a box around the person. Or move it with the arrow keys, with Shift change its size, ' +
    'and press Enter.');
};
const search = (edges) => {
  const [left, top, right, bottom] = edges;
  if (right - left < .01 || bottom - top < .01) return say('The box is too small. Drag again.');
  say('Searching …');
  trigger('box', {edges});
};
element.addEventListener('pointerdown', (event) => {
  const stage = event.target.closest('.ps-drawing');
  if (!stage || event.button) return;
  event.preventDefault();
  const area = stage.getBoundingClientRect(), box = stage.querySelector('.ps-drawn');
  const at = (e) => [(e.clientX - area.left) / area.width, (e.clientY - area.top) / area.height];
  const [x, y] = at(event);
  const move = (e) => {
    const [u, v] = at(e);
    place(box, [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)]);
  };
  stage.setPointerCapture(event.pointerId);
  stage.addEventListener('pointermove', move);
  stage.addEventListener('pointerup', (e) => {
    stage.removeEventListener('pointermove', move);
    move(e);
    box.focus();
    search(edgesOf(box));
  }, {once: true});
});
element.addEventListener('keydown', (event) => {
  const box = event.target.closest('.ps-drawing .ps-drawn');
  if (!box) return;
  if (event.key === 'Escape') {
    box.closest('.ps-stage').classList.remove('ps-drawing');
    box.remove();
    element.querySelector('[data-draw]').focus();
    say('');
    return;
  }
  const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  if (!ways[event.key]) return;
  event.preventDefault();
  const [dx, dy] = ways[event.key].map((way) => .01 * way), [a, b, c, d] = edgesOf(box);
  const fixed = event.shiftKey ? [0, 0] : [dx, dy];
  const next = [a + fixed[0], b + fixed[1], c + dx, d + dy];
  const fits = next.every((e) => e >= -1e-9 && e <= 1 + 1e-9);
  if (fits && next[2] - next[0] >= .01 && next[3] - next[1] >= .01) place(box, next);
});
watch('value', () => {  // the button that was focused may be another one now
  const drawn = element.querySelector('.ps-drawn');
  if (drawn && document.activeElement === document.body) drawn.focus();
});
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-draw]')) return draw();
  if (event.target.closest('[data-whole]')) return search([0, 0, 1, 1]);
  const drawn = event.target.closest('.ps-drawn');
  if (drawn && event.detail === 0) return search(edgesOf(drawn));  // Enter or Space
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
