import { start } from '@frame/start';

import { app } from './app';
import { router } from './routes';

start(app, router);
