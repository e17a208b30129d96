for (const [url, init] of [
  ['https://site.test/ok/a', {}],
  ['https://site.test/ok/b', {method: 'POST', body: 'x'.repeat(100000)}],
  ['https://site.test/no', {}],
]) {
  const answer = await fetch(url, init);
  console.log(answer.status, await answer.text());
}
