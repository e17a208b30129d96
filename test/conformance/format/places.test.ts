import {describe, expect, test} from '@jest/globals';
import {canonical, joinHostPort, parseHostPort, parseUrl, withoutDotSegments} from './places.ts';

describe('places', () => {
  test.each([
    ['one.test:443', {host: 'one.test', port: 443}],
    ['10.0.0.1:80', {host: '10.0.0.1', port: 80}],
    ['[fd00::1]:80', {host: 'fd00::1', port: 80}],
    ['fd00::1:80', null],
    ['one.test', null],
    ['one.test:0', null],
    ['one.test:65536', null],
    ['[one.test]:80', null],
  ])('%s', (text, place) => {
    expect(parseHostPort(text)).toEqual(place);
    if (place !== null) expect(joinHostPort(place.host, place.port)).toBe(text);
  });

  test.each([
    ['http://a.test', {port: 80, path: '/', query: null}],
    ['https://a.test?x', {port: 443, path: '/', query: 'x'}],
    ['https://[::1]:8443/a?b?c', {host: '::1', port: 8443, path: '/a', query: 'b?c'}],
    ['http://a.test/%00//..;/', {path: '/%00//..;/'}],
  ])('a URL is split and not tidied: %s', (text, parts) => {
    expect(parseUrl(text)).toMatchObject(parts);
  });

  test.each(['a.test/', 'ftp://a.test/', 'http:///a', 'http://a.test:port/', 'http://a.test/#x'])(
    '%s is no URL of a step',
    (text) => {
      expect(parseUrl(text)).toBeNull();
    },
  );

  test.each([
    ['/a/../b', '/b'],
    ['/a/./b/', '/a/b/'],
    ['/a/%2e%2E/b', '/b'],
    ['/..', '/'],
    ['/a/b/..', '/a/'],
    ['/a..b', '/a..b'],
  ])('a client that tidies paths turns %s into %s', (path, tidy) => {
    expect(withoutDotSegments(path)).toBe(tidy);
  });

  test.each([
    ['FD12:0:0::7', 'fd12::7'],
    ['::ffff:169.254.169.254', '169.254.169.254'],
    ['::ffff:a9fe:a9fe', '169.254.169.254'],
    ['64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe'],
    ['5.6.7.8', '5.6.7.8'],
  ])('the address %s is %s on the wire', (ip, wire) => {
    expect(canonical(ip)).toBe(wire);
  });
});
