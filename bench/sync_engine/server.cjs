// @supabase/stripe-sync-engine behind Node's own HTTP server, as its README shows it:
// new StripeSync(...), runMigrations(...), sync.processWebhook(payload, signature).
// Only the address of Stripe's API is ours: its client is a public property of StripeSync.
const http = require("node:http");
const { createRequire } = require("node:module");

const load = createRequire(`${process.env.SYNC_PACKAGES}/`);
const { StripeSync, runMigrations } = load("@supabase/stripe-sync-engine");
const Stripe = load("stripe");

async function migrate() {
  let failed = null;
  const logger = { info() {}, error: (error) => { failed = error; } };
  await runMigrations({ databaseUrl: process.env.SYNC_DATABASE_URL, schema: "stripe", logger });
  if (failed) throw failed;
}

function serve() {
  const sync = new StripeSync({
    poolConfig: { connectionString: process.env.SYNC_DATABASE_URL, max: 10 },
    stripeSecretKey: "sk_test_bench",
    stripeWebhookSecret: process.env.SYNC_SECRET,
  });
  const api = new URL(process.env.SYNC_API);
  sync.stripe = new Stripe("sk_test_bench", { host: api.hostname, port: api.port, protocol: "http" });
  http.createServer((request, response) => answer(sync, request, response))
    .listen(Number(process.env.SYNC_PORT), "127.0.0.1");
}

function answer(sync, request, response) {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    try {
      await sync.processWebhook(Buffer.concat(parts), request.headers["stripe-signature"]);
      respond(response, 200, "ok");
    } catch (error) {
      respond(response, 400, String(error));
    }
  });
}

function respond(response, status, text) {
  response.writeHead(status, { "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

process.argv[2] === "migrate" ? migrate().catch(fail) : serve();

function fail(error) {
  console.error(error);
  process.exit(1);
}
