import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {commandFailed, nodePath, systemCommands} from './commands.ts';

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

describe('where programs are looked up', () => {
  let folder: string;
  const before = process.env['PATH'];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-path-'));
    for (const name of ['sallyport-own', 'cat'])
      writeFileSync(join(folder, name), '#!/bin/sh\necho own\n', {mode: 0o755});
    process.env['PATH'] = `${folder}:${before}`;
  });
  afterEach(() => {
    process.env['PATH'] = before;
    rmSync(folder, {recursive: true});
  });

  test("not in the environment's PATH, which is a pod author's as much as ours", async () => {
    const commands = systemCommands();
    await expect(commands.run(['sallyport-own'])).rejects.toMatchObject({code: 'ToolMissing'});
    expect(await commands.run(['cat'], 'in')).toMatchObject({stdout: 'in'});
    const said = await new Promise<string>((resolve) => {
      let text = '';
      const followed = commands.follow(
        ['cat'],
        (more) => {
          text += more;
          followed.close();
          resolve(text);
        },
        () => resolve(text),
      );
      followed.write('in');
    });
    expect(said).toBe('in');
  });

  test("on a node, where PATH is the administrator's, there first", async () => {
    const commands = systemCommands(undefined, nodePath());
    expect(await commands.run(['sallyport-own'])).toMatchObject({stdout: 'own\n'});
  });
});

describe('a program that is followed', () => {
  test('says what it has to say on either output, hears us, and tells when it ends', async () => {
    let said = '';
    await new Promise<void>((resolve) => {
      const cat = systemCommands().follow(['sh', '-c', 'echo ready >&2; head -n1'], (text) => (said += text), resolve);
      cat.write('heard\n');
    });
    expect(said.split('\n').sort()).toEqual(['', 'heard', 'ready']);
  });

  test('dies with us, also where we are killed', async () => {
    const commands = new URL('./commands.ts', import.meta.url).href;
    const program = `const {systemCommands} = await import(${JSON.stringify(commands)});
      systemCommands().follow(['sh', '-c', 'echo $$; exec sleep 1000'], (text) => process.stdout.write(text), () => {});`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(said.toString());
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toMatch(/^(sh|sleep)\n$/);
    parent.kill('SIGKILL');
    // Gone, or a zombie where nobody collects orphans.
    while (running(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
  });
});

function running(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('a program that is followed and cannot even be started has ended: nothing is thrown into a timer', async () => {
  const commands = systemCommands(() => {
    throw new Error('EAGAIN');
  });
  await new Promise<void>((resolve) => {
    const followed = commands.follow(['nft', 'monitor'], () => undefined, resolve);
    followed.write('nothing');
    followed.close();
  });
});
