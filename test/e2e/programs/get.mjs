// GETs each URL and prints its status, or what went wrong.
for (const url of process.argv.slice(2)) {
  const answer = await fetch(url, {signal: AbortSignal.timeout(10_000)}).catch((error) => error);
  console.log(answer.status ?? answer.cause?.code ?? answer.message);
}
