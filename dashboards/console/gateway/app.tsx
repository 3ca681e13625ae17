import type { Application } from '@frame/application';

import { enter, leave, whoIsIn } from './session';

/** The gateway, as the frame knows it. */
export const app: Application = {
  name: 'Sealgate gateway',
  part: 'Gateway',
  logIn: {
    name: false,
    secret: 'API token',
    hint: 'The token was printed, or written to first_admin.file, when the first gateway of the group was started; sealgate dev prints it at each start. It is not kept in the browser.',
  },
  topics: ['group', 'policies', 'central', 'statistics', 'log'],
  who: whoIsIn,
  enter,
  leave,
};
