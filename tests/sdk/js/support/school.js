// An invented school as import lines: class 2.A with its teacher, 24 children and 42 guardians, and people who must never
// see what is said there.

export const SCHOOL = 'G1';
export const CLASS = 'G1.g1';
export const OTHER_CLASS = 'G1.g2';
export const WHOLE_SCHOOL = 'G1.g3';
export const INBOX = 'G1.i1';

const CHILDREN = 24;
/** Children whose two guardians are both in the class; the others have one: 18 × 2 + 6 = 42. */
const WITH_TWO_GUARDIANS = 18;
/** Enough to pass the 400 recipients of a thread. */
export const CROWD = 410;

export const profile = (number) => `${SCHOOL}.p${number}`;

/** The people by the name the tests use: login and profile. */
export const people = {
  teacher: { subject: 'teacher', profile: profile(1) },
  leader: { subject: 'leader', profile: profile(2) },
  office: { subject: 'office', profile: profile(3) },
  townHall: { subject: 'town-hall', profile: profile(4) },
  stranger: { subject: 'stranger', profile: profile(5) },
  otherTeacher: { subject: 'other-teacher', profile: profile(6) },
  otherChild: { subject: 'other-child', profile: profile(7) },
  otherGuardian: { subject: 'other-guardian', profile: profile(8) },
  /** Father of the first child, without custody and without access. */
  outsideFather: { subject: 'outside-father', profile: profile(9) },
  /** Of the neighbouring municipality, but granted to take part here. */
  granted: { subject: 'granted', profile: profile(10) },
  /** Administers the whole municipality. */
  municipality: { subject: 'municipality', profile: 'M1.p1' },
  children: Array.from({ length: CHILDREN }, (_, n) => ({ subject: `child-${n}`, profile: profile(100 + n) })),
  guardians: [],
  crowd: Array.from({ length: CROWD }, (_, n) => ({ subject: `crowd-${n}`, profile: profile(1000 + n) })),
};
for (let child = 0; child < CHILDREN; child += 1) {
  const count = child < WITH_TWO_GUARDIANS ? 2 : 1;
  for (let nth = 0; nth < count; nth += 1) {
    const number = people.guardians.length;
    people.guardians.push({ subject: `guardian-${number}`, profile: profile(200 + number), child });
  }
}

/** The whole school as JSON Lines. */
export function lines() {
  const all = [
    { type: 'unit', code: 'M1', name: 'Klokkeby Kommune', kind: 'municipality' },
    { type: 'unit', code: 'M2', name: 'Nabokommunen', kind: 'municipality' },
    { type: 'unit', code: SCHOOL, name: 'Klokkeby Skole', kind: 'school', parent: 'M1' },
    { type: 'group', id: CLASS, name: '2.A', kind: 'class', main: true },
    { type: 'group', id: OTHER_CLASS, name: '2.B', kind: 'class', main: true },
    { type: 'group', id: WHOLE_SCHOOL, name: 'Alle', kind: 'institutional' },
  ];
  const person = ({ subject, profile }, kind, more = {}, hidden = {}) => {
    all.push({ type: 'person', id: subject, name: `Navn ${subject}`, ...hidden });
    all.push({ type: 'account', subject, person: subject });
    all.push({ type: 'profile', id: profile, person: subject, kind, ...more });
  };
  const member = (group, { profile }) => all.push({ type: 'membership', group, profile, kind: 'member' });
  const relation = (adult, child, more = {}) =>
    all.push({ type: 'relation', adult: adult.profile, child: child.profile, kind: 'guardian', custody: true, ...more });

  person(people.municipality, 'system_administrator', { scope: 'municipality', home: 'M1' });
  person(people.teacher, 'pedagogical_staff');
  person(people.leader, 'leader');
  person(people.office, 'administrative_staff');
  person(people.townHall, 'municipal_administration', { home: 'M1' });
  person(people.stranger, 'municipal_administration', { home: 'M2' });
  person(people.otherTeacher, 'pedagogical_staff');
  person(people.otherChild, 'pupil');
  person(people.otherGuardian, 'guardian');
  person(people.outsideFather, 'guardian');
  member(CLASS, people.teacher);
  member(OTHER_CLASS, people.otherTeacher);
  member(OTHER_CLASS, people.otherChild);
  relation(people.otherGuardian, people.otherChild);
  people.children.forEach((child, n) => {
    // The last child's name is protected.
    const hidden = n === CHILDREN - 1 ? { protected: true, alias: 'Skjult Elev' } : {};
    person(child, 'pupil', {}, hidden);
    member(CLASS, child);
  });
  for (const guardian of people.guardians) {
    person(guardian, 'guardian');
    relation(guardian, people.children[guardian.child]);
  }
  relation(people.outsideFather, people.children[0], { custody: false });
  for (const pupil of people.crowd) {
    person(pupil, 'pupil');
    member(WHOLE_SCHOOL, pupil);
  }
  const { granted } = people;
  all.push({ type: 'person', id: granted.subject, name: `Navn ${granted.subject}` });
  all.push({ type: 'account', subject: granted.subject, person: granted.subject });
  all.push({ type: 'grant', id: granted.profile, person: granted.subject, kind: 'municipal_administration', home: 'M2' });
  all.push({ type: 'inbox', id: INBOX, name: 'Kontoret', members: [people.office.profile] });
  return `${all.map((line) => JSON.stringify(line)).join('\n')}\n`;
}
