// The users of the journal's database. The mongo image runs this once, when its volume is empty.
// "password" names the variable that holds it.
const USERS = [
  { "user": "kleio", "password": "MONGO_KLEIO_PASSWORD", "role": "readWrite" },
  { "user": "reader", "password": "MONGO_READER_PASSWORD", "role": "read" }
];

const journal = db.getSiblingDB(process.env.MONGO_KLEIO_DATABASE);
for (const one of USERS) {
  journal.createUser({
    user: one.user,
    pwd: process.env[one.password],
    roles: [{ role: one.role, db: journal.getName() }]
  });
}
