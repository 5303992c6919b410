// The six boards, in the order an operator opens them.

import type { Board } from '../model.ts';
import { capacity } from './capacity.ts';
import { connections } from './connections.ts';
import { delivery } from './delivery.ts';
import { ledger } from './ledger.ts';
import { morning } from './morning.ts';
import { security } from './security.ts';

export const boards: Board[] = [morning, connections, delivery, ledger, capacity, security];
