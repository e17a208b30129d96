/** Who asks the issuer: limited by where he comes from, known by what the API server says of his token. */
import {AuthenticationV1Api, type KubeConfig} from '@kubernetes/client-node';
import {IDENTITY_AUDIENCE} from '../../../runtime/names.ts';
import {callerOf, type Caller, type Refused} from './judge.ts';
import {Rates, RATES} from './limits.ts';

/** The API server answers a review in milliseconds; more at once is somebody who asks with what is no token. */
const MAX_REVIEWS = 64;

export interface NotHeard {
  readonly kind: 'refused';
  readonly code: Refused['code'] | 'TooMany' | 'Busy';
  readonly message: string;
}

/** Rejects where the API server cannot be asked. `address`: of the connection. */
export type KnowAsker = (token: string, address: string) => Promise<{kind: 'caller'; caller: Caller} | NotHeard>;

export function createKnowAsker(config: KubeConfig): KnowAsker {
  const reviews = config.makeApiClient(AuthenticationV1Api);
  const rates = new Rates(RATES.address);
  let reviewing = 0;
  return async (token, address) => {
    if (!rates.take(address, performance.now()))
      return {kind: 'refused', code: 'TooMany', message: 'too many questions from this address.'};
    if (reviewing >= MAX_REVIEWS)
      return {kind: 'refused', code: 'Busy', message: 'too many tokens are being looked at: ask again.'};
    reviewing++;
    try {
      const body = {spec: {token, audiences: [IDENTITY_AUDIENCE]}};
      return callerOf((await reviews.createTokenReview({body})).status);
    } finally {
      reviewing--;
    }
  };
}
