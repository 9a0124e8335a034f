// Receive notifications with simple-hl7, on a free port that is printed first.
// Then prints one JSON line for each: its type, event, profile, identifiers and name.
const net = require("net");
const hl7 = require("simple-hl7");

const probe = net.createServer();
probe.listen(0, "127.0.0.1", () => {
  const { port } = probe.address();
  probe.close(() => {
    const app = hl7.tcp();
    app.use((request, response, next) => {
      const fields = String(request.raw)
        .split("\r")
        .map((line) => line.split("|"));
      const pid = fields.find((one) => one[0] === "PID");
      console.log(
        JSON.stringify({
          type: request.type,
          event: request.event,
          profile: String(request.msg.header.getField(19)),
          identifiers: pid[3].split("~").map((one) => one.split("^")[0]),
          name: pid[5],
        }),
      );
      next();
    });
    app.use((request, response, next) => {
      response.end();
    });
    app.start(port);
    setTimeout(() => console.log(port), 100);
  });
});
