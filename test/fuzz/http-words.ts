/** Words of HTTP/1 and of what is sent to confuse its readers. */
export const HTTP_WORDS: readonly string[] = [
  'GET', 'POST', 'HEAD', 'OPTIONS', 'CONNECT', 'PRI', ' / HTTP/1.1\r\n', ' HTTP/1.1', ' HTTP/1.0', ' HTTP/2.0', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.0 200 OK\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 101 Switching\r\n', 'HTTP/1.1 204 \r\n', 'HTTP/1.1 304 Not Modified\r\n', 'HTTP/1.1 206',
  'Host: a.test\r\n', 'Host: b.test:80\r\n', 'Host:\r\n', 'http://a.test/', 'https://a.test', 'a.test:443', '*',
  'Content-Length: 5\r\n', 'Content-Length: 0\r\n', 'content-length:5\r\n', 'Content-Length: 5, 5\r\n', 'Content-Length: +5\r\n', 'Content-Length : 5\r\n', 'Content_Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n', 'transfer-encoding:CHUNKED\r\n', 'Transfer-Encoding: identity\r\n', 'Transfer-Encoding: gzip, chunked\r\n', 'Transfer-Encoding: chunked, identity\r\n',
  'Transfer-Encoding:\r\n chunked\r\n', 'Transfer-Encoding:\tchunked\r\n', 'Transfer-Encoding: xchunked\r\n', 'Transfer-Encoding: "chunked"\r\n', ' Transfer-Encoding: chunked\r\n', 'Transfer-Encoding\r\n', '\nTransfer-Encoding: chunked\r\n',
  'Connection: close\r\n', 'Connection: keep-alive\r\n', 'Connection: upgrade\r\n', 'Connection: content-length\r\n', 'Connection: x-y, host\r\n', 'Proxy-Connection: keep-alive\r\n', 'Keep-Alive: timeout=5\r\n',
  'Upgrade: websocket\r\n', 'Upgrade: h2c\r\n', 'HTTP2-Settings: AAA\r\n', 'Expect: 100-continue\r\n', 'TE: trailers\r\n', 'Trailer: X\r\n', 'X: y\r\n', 'X-y:z\r\n', 'X :y\r\n', ': y\r\n', '\r\n\r\n', '\r\n', '\r', '\n', '\0', ' ', '\t', '\x0b', '\x85', '\xa0',
  '0\r\n\r\n', '0\r\n', '5\r\nhello\r\n', '5;a=b\r\nhello\r\n', '5;a="b;\\"c"\r\nhello\r\n', '5 \r\nhello\r\n', '0x5\r\nhello\r\n', '00000005\r\nhello\r\n', '100000005\r\nhello\r\n', 'ffffffff\r\n', '-5\r\n', '5\nhello\r\n', '5\r\nhello', '0\r\nX: y\r\n\r\n', '0\r\nContent-Length: 5\r\n\r\n', '0;\r\n\r\n', '0\n\r\n',
  'GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n', 'POST / HTTP/1.1\r\nHost: a.test\r\n', 'SMUGGLED', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '#', '%00', '..;/', '\\',
]; // prettier-ignore
