// Answers everything outside of one bucket with a page of our own. Edit it while the proxy runs: the next request sees it.
import type {RequestFlow} from '../../filters/types.ts';

const BUCKET = '/solutions-public-assets/';

export function request(flow: RequestFlow): void {
  const {host, path} = flow.request;
  if (host === 'storage.googleapis.com' && path.startsWith(BUCKET)) return;
  flow.respond({
    status: 418,
    headers: {'content-type': 'text/html'},
    body: 'Access Denied by Administrator',
  });
}
