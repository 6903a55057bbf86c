// Unpacks the browser into TMPDIR; its own libraries come along where it believes
// itself in a place without them.
process.env.AWS_EXECUTION_ENV = 'AWS_Lambda_nodejs22.x';
const { default: chromium } = await import('@sparticuz/chromium');
await chromium.executablePath();
