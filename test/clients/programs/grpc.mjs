import grpc from '@grpc/grpc-js';

const text = {serialize: (value) => Buffer.from(value), deserialize: (bytes) => bytes.toString()};
const method = (path, stream) => ({
  path,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
});
const Echo = grpc.makeGenericClientConstructor({
  unary: method('/echo.Echo/Allowed', false),
  bidi: method('/echo.Echo/AllowedStream', true),
  denied: method('/echo.Echo/Forbidden', false),
});
const client = new Echo('grpc.test:443', grpc.credentials.createSsl());

await new Promise((done) => {
  let said;
  const call = client.unary('hello', (error, value) => (said = error?.message ?? value));
  call.on('status', (status) => (console.log(`unary: ${said} trailer=${status.metadata.get('x-trailer')}`), done()));
});
await new Promise((done) => {
  const call = client.bidi();
  const got = [];
  const words = ['one', 'two', 'three'];
  // The next message goes out only after the last one came back: a proxy that buffers would hang here.
  call.on('data', (value) => {
    got.push(value);
    if (words.length > 0) call.write(words.shift());
    else call.end();
  });
  call.on('error', (error) => got.push(error.message));
  call.on('status', (status) => (console.log(`bidi: ${got} trailer=${status.metadata.get('x-trailer')}`), done()));
  call.write(words.shift());
});
await new Promise((done) =>
  client.denied('x', (error) => (console.log(`denied: ${error.code} ${grpc.status[error.code]}`), done())),
);
client.close();
