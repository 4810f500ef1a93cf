// Tells the server which button with data-... attributes was clicked, or which way to turn.
element.addEventListener('click', (event) => {
  const {dataset} = event.target.closest('button') ?? {};
  if (dataset && Object.keys(dataset).length) trigger(dataset.turn ? 'turn' : 'act', {...dataset});
});
