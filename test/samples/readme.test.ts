import {expect, test} from '@jest/globals';
import {commandsOf} from './readme.ts';

test('commands of sh blocks only, with what follows them', () => {
  const readme = [
    '```console\nkubectl exec x\n```',
    '```sh\nkubectl get a \\\n  --labels "" -o yaml\n# one\n# not: two\nsallyport explain x\n# DENIED  Because\n```',
    '```sh\nkubectl create x\n# refused: why\n```',
  ].join('\n');
  expect(commandsOf(readme)).toEqual([
    {argv: ['kubectl', 'get', 'a', '--labels', '', '-o', 'yaml'], prints: ['one'], printsNot: ['two'], fails: false},
    {argv: ['sallyport', 'explain', 'x'], prints: ['DENIED  Because'], printsNot: [], fails: true},
    {argv: ['kubectl', 'create', 'x'], prints: ['why'], printsNot: [], fails: true},
  ]);
});

test('an expectation of nothing is an error in the README', () => {
  expect(() => commandsOf('```sh\n# one\n```')).toThrow('no command before it');
});
