// Tells the server which scene was clicked, or which way to turn.
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.frame) trigger('act', {frame: button.dataset.frame});
  else if (button?.dataset.turn) trigger('turn', {turn: button.dataset.turn});
});
