import {describe, expect, test} from '@jest/globals';
import {commandFailed, systemCommands} from './commands.ts';

describe('what a refusal of nft, ip or conntrack means', () => {
  test.each([
    ['Operation not permitted (you must be root)', 'MissingCapability'],
    ['RTNETLINK answers: Operation not permitted', 'MissingCapability'],
    ['/dev/stdin:1:1-2: Error: syntax error, unexpected newline', 'CommandFailed'],
  ])('%s: %s', (stderr, code) => {
    expect(commandFailed('nft', {status: 1, stdout: '', stderr}).code).toBe(code);
  });

  test('the ways to give the capability are in the message', () => {
    const {fix} = commandFailed('nft', {status: 1, stdout: '', stderr: 'Operation not permitted'});
    for (const way of ['--cap-add=NET_ADMIN', 'capabilities.add: [NET_ADMIN]', 'setcap cap_net_admin+ep'])
      expect(fix).toContain(way);
  });
});

describe('running a program', () => {
  test('one that is not installed is named with its package', async () => {
    const commands = systemCommands();
    await expect(commands.run(['sallyport-no-such-tool'])).rejects.toMatchObject({
      code: 'ToolMissing',
      message: 'sallyport-no-such-tool is not installed',
    });
  });

  test('status, output and input go through; one that reads nothing of its input is no failure', async () => {
    const commands = systemCommands();
    expect(await commands.run(['cat'], 'in')).toEqual({status: 0, stdout: 'in', stderr: ''});
    expect(await commands.run(['false'], 'x'.repeat(1 << 20))).toEqual({status: 1, stdout: '', stderr: ''});
  });
});
