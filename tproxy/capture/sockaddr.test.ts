import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {canonicalAddress} from '../../policy/index.ts';
import {SYS} from './libc.ts';
import {familyOf, parseSockaddr, sockaddr} from './sockaddr.ts';

describe('sockaddr', () => {
  test('IPv4 as <netinet/in.h> lays it out', () => {
    const buffer = sockaddr('203.0.113.5', 443);
    expect(buffer.readUInt16LE(0)).toBe(SYS.AF_INET);
    expect(buffer.subarray(2).toString('hex')).toBe('01bb' + 'cb007105' + '0000000000000000');
  });

  test('IPv6 has flow information before the address and the scope after it', () => {
    const buffer = sockaddr('2001:db8::5', 443);
    expect(buffer.toString('hex', 2)).toBe('01bb' + '00000000' + '20010db8000000000000000000000005' + '00000000');
  });

  test('there and back is the same, for every address and port', () => {
    const ip = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => canonicalAddress(text)!);
    fc.assert(
      fc.property(ip, fc.nat(65535), (address, port) => {
        const back = parseSockaddr(sockaddr(address, port))!;
        expect({...back, ip: canonicalAddress(back.ip)}).toEqual({ip: address, port});
      }),
    );
  });

  test('bytes that are none are null, not an address of zeros', () => {
    expect(parseSockaddr(Buffer.alloc(28))).toBeNull();
    fc.assert(fc.property(fc.uint8Array({maxLength: 15}), (bytes) => parseSockaddr(Buffer.from(bytes)) === null));
  });

  test.each(['', '1', '127.1', '0x7f.0.0.1', 'localhost', '1.2.3.4.5'])('%j is no address', (text) => {
    expect(() => familyOf(text)).toThrow(TypeError);
  });
});
