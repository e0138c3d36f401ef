//! A cluster's keys: a CA, the certificates of the API server and the kubelet signed by it, and the one that the API server
//! shows the kubelet; the key that signs service account tokens; random tokens. Never here: a certificate that is its own CA – rustls refuses one – or a key that outlives its cluster.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::KubeError;
use super::folders::private_file;

/// Writes into `folder` the `.crt` of `ca`, and `.crt` and `.key` of `server`, `kubelet` and `kubelet-client`, and both halves
/// of `service-accounts`; answers with the CA.
pub(crate) fn write(folder: &Path) -> Result<String, KubeError> {
    let told = |what| move |source| KubeError::Certificate { what, source };
    let key = || KeyPair::generate().map_err(told("keys"));

    let mut params = named(Vec::new(), "KubeVision test cluster CA").map_err(told("CA"))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The CA's key is dropped at the end, so nobody can sign another certificate.
    let ca_key = key()?;
    let ca = params.self_signed(&ca_key).map_err(told("CA"))?.pem();
    let issuer = Issuer::new(params, ca_key);

    private_file(&folder.join("ca.crt"), &ca)?;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    // The kubelet runs commands for whoever shows it a client's certificate of this CA, so this is the only one.
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    for (file, common, usage) in [
        ("server", "kube-apiserver", &server),
        ("kubelet", "kubelet", &server),
        ("kubelet-client", "kube-apiserver", &client),
    ] {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = named(names, common).map_err(told("certificates"))?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage.clone()];
        params.use_authority_key_identifier_extension = true;
        let key = key()?;
        let certificate = params.signed_by(&key, &issuer).map_err(told("certificates"))?.pem();
        private_file(&folder.join(format!("{file}.crt")), &certificate)?;
        private_file(&folder.join(format!("{file}.key")), &key.serialize_pem())?;
    }
    let accounts_key = key()?;
    private_file(&folder.join("service-accounts.key"), &accounts_key.serialize_pem())?;
    private_file(&folder.join("service-accounts.pub"), &accounts_key.public_key_pem())?;
    Ok(ca)
}

fn named(names: Vec<String>, common: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common);
    Ok(params)
}

/// 256 random bits as hexadecimal text.
pub(crate) fn token() -> Result<String, KubeError> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 32];
    let read = File::open(random).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(KubeError::file("read random bytes", random))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
