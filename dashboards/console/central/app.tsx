import type { Application } from '@frame/application';

import { AccountMenu } from './account/menu';
import { enter, leave, whoIsIn } from './api';
import { find } from './find';
import { Bell } from './notifications/bell';

/** Central, as the frame knows it. */
export const app: Application = {
  name: 'Sealgate Central',
  part: 'Central',
  logIn: {
    name: true,
    secret: 'Password',
    hint: 'An administrator makes accounts and resets passwords under Users. The first one, admin, was printed when Central was first started.',
  },
  topics: ['gateways', 'policies', 'statistics', 'notifications'],
  who: whoIsIn,
  enter,
  leave,
  find,
  bell: () => <Bell />,
  account: () => <AccountMenu />,
};
