// The smallest web server. It closes a connection on which nothing came for KEEP milliseconds, and a
// second that Node adds to that.
const fs = require("node:fs");
const http = require("node:http");

const server = http.createServer((request, response) => {
  request.resume().on("end", () => response.end("thank you\n"));
});
server.keepAliveTimeout = Number(process.env.KEEP);
server.listen(8000, () => {
  console.log(`Node ${process.version}, keepAliveTimeout ${server.keepAliveTimeout} ms`);
  fs.writeFileSync("/run/ready", "");
});
