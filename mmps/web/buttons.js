// Tells the server which button with data-... attributes was clicked.
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button && Object.keys(button.dataset).length) trigger('act', {...button.dataset});
});
