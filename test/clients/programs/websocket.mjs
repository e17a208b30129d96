const socket = new WebSocket('wss://chat.test/ws');
const big = 'x'.repeat(100000);
socket.onopen = () => socket.send('hello');
socket.onmessage = ({data}) => {
  console.log(`echo:${data === 'hello' ? data : data.length}`);
  if (data === 'hello') socket.send(big);
  else socket.close(1000);
};
socket.onerror = (event) => console.log(`error ${event.message ?? ''}`);
socket.onclose = ({code}) => console.log(`closed ${code}`);
