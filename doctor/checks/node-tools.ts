/** The programs and the kernel that the capture is made of. */
import {commandFailed} from '../../tproxy/capture/commands.ts';
import type {Check} from '../check.ts';
import {fail, ok} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

/** Tables with an owner, and sets keyed by interface and address in one listing. */
const MIN_NFT = [1, 0] as const;

export const nodeTools: Check<NodeWorld> = {
  name: 'node.tools',
  looks: 'nft, ip and conntrack',
  run: async ({commands}) => {
    // Throws ToolMissing with the package for the one that is not there.
    const nft = await commands.run(['nft', '--version']);
    await commands.run(['ip', '-V']);
    await commands.run(['conntrack', '--version']);
    const version = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(nft.stdout);
    if (version === null) return fail(`nft names no version: ${nft.stdout.trim()}`, 'Install nftables 1.0 or later.');
    const [major, minor] = [Number(version[1]), Number(version[2])];
    if (major < MIN_NFT[0] || (major === MIN_NFT[0] && minor < MIN_NFT[1]))
      return fail(`nft is ${version[0]}`, 'Install nftables 1.0 or later: tables with an owner need it.');
    const tables = await commands.run(['nft', 'list', 'tables']);
    if (tables.status !== 0) throw commandFailed('nft', tables);
    return ok(`nft ${version[0].slice(1)}, and the kernel lists its tables`);
  },
};
