import * as faults from './real/faults.ts'; import { Prometheus } from './real/prometheus.ts'; import { Server } from './real/server.ts'; import { mkdtempSync } from 'node:fs';
const p = await Prometheus.start();
const which = process.argv[2]!; const f = which==='disk' ? faults.badDisk()[0]! : (faults as any)[which];
const s = await Server.start(f.around(mkdtempSync('/tmp/kk-'))); p.watch('klokke-x', s.address);
await p.until('up{job="klokke-x"} == 1'); let over=false; const inj = f.inject(s, ()=>over);
const qs = process.argv.slice(3);
for (let i=0;i<14;i++){ await new Promise(r=>setTimeout(r,1000)); for (const q of qs) console.log(i, q.slice(0,60), (await p.instant(q)).map(x=>JSON.stringify(x.metric).slice(0,90)+' '+x.values[0]![1]).join(' | ')); }
over=true; await inj; await s.remove(); await p.stop(); process.exit(0);
