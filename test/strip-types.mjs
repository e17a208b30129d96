import {createHash} from 'node:crypto';
import {stripTypeScriptTypes} from 'node:module';

// The checkout runs by Node's own type stripping; Jest loads modules itself, so it strips them the same way.
export default {
  process: (source) => ({code: stripTypeScriptTypes(source, {mode: 'strip'})}),
  getCacheKey: (source, path) => createHash('sha256').update(process.version).update(path).update(source).digest('hex'),
};
