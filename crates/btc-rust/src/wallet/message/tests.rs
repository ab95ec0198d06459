//! Signatures are the published ones, letter for letter.

use btc_iface::Network;

use super::*;

struct Vector {
    key: &'static str,
    form: Form,
    address: &'static str,
    network: Network,
    message: &'static str,
    signature: &'static str,
}

/// Of BIP322 (CC0-1.0): `basic-test-vectors.json` and, for P2TR and the nested type, what bip322-js
/// (MIT, copyright 2023 Ken Sze) publishes. Of Bitcoin Core (MIT): `rpc_signmessagewithprivkey.py`.
const VECTORS: [Vector; 5] = [
    Vector {
        key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
        form: Form::Simple,
        address: "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l",
        network: Network::Bitcoin,
        message: "",
        signature: "smpAkgwRQIhAPkJ1Q4oYS0htvyuSFHLxRQpFAY56b70UvE7Dxazen0ZAiAtZfFz1S6T6I23MWI2lK/pcNTWncuyL8UL+oMdydVgzAEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
    },
    Vector {
        key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
        form: Form::Simple,
        address: "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l",
        network: Network::Bitcoin,
        message: "Hello World",
        signature: "smpAkgwRQIhAOzyynlqt93lOKJr+wmmxIens//zPzl9tqIOua93wO6MAiBi5n5EyAcPScOjf1lAqIUIQtr3zKNeavYabHyR8eGhowEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
    },
    Vector {
        key: "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k",
        form: Form::Simple,
        address: "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3",
        network: Network::Bitcoin,
        message: "Hello World",
        signature: "smpAUHd69PrJQEv+oKTfZ8l+WROBHuy9HKrbFCJu7U1iK2iiEy1vMU5EfMtjc+VSHM7aU0SDbak5IUZRVno2P5mjSafAQ==",
    },
    Vector {
        key: "KwTbAxmBXjoZM3bzbXixEr9nxLhyYSM4vp2swet58i19bw9sqk5z",
        form: Form::SimpleUnprefixed,
        address: "3HSVzEhCFuH9Z3wvoWTexy7BMVVp3PjS6f",
        network: Network::Bitcoin,
        message: "Hello World",
        signature: "AkgwRQIhAMd2wZSY3x0V9Kr/NClochoTXcgDaGl3OObOR17yx3QQAiBVWxqNSS+CKen7bmJTG6YfJjsggQ4Fa2RHKgBKrdQQ+gEhAxa5UDdQCHSQHfKQv14ybcYm1C9y6b12xAuukWzSnS+w",
    },
    Vector {
        key: "cUeKHd5orzT3mz8P9pxyREHfsWtVfgsfDjiZZBcjUBAaGk1BTj7N",
        form: Form::Legacy,
        address: "mpLQjfK79b7CCV4VMJWEWAj5Mpx8Up5zxB",
        network: Network::Regtest,
        message: "This is just a test message",
        signature: "INbVnW4e6PeRmsv2Qgu8NuopvrVjkcxob+sX8OcZG0SALhWybUjzMLPdAsXI46YZGb0KQTRii+wWIQzRpG/U+S0=",
    },
];

#[test]
fn signatures_are_the_published_ones() {
    for vector in VECTORS {
        let address = read_address(vector.address, vector.network).expect("published");
        let key = PrivateKey::from_wif(vector.key).expect("published");
        let signed = sign_with(&key.inner, &address, vector.message, vector.form);
        let signed = signed.expect("the key of the address");
        assert_eq!(signed.signature, vector.signature, "{}", vector.address);
        assert_eq!(signed.format, vector.form.as_str());
        let check = |message: &str, signature: &str| {
            let judged = verify(vector.address, message, signature, vector.network);
            judged.expect("known kinds")
        };
        let Verdict::Valid(proof) = check(vector.message, vector.signature) else {
            unreachable!("published: {}", vector.address);
        };
        assert_eq!(proof.form, vector.form.as_str());
        // With another prefix or none, in lines, and as another text.
        let body = vector.signature;
        let body = body.strip_prefix("smp").unwrap_or(body);
        assert!(check(vector.message, body).is_valid(), "without a prefix");
        let (front, back) = vector.signature.split_at(40);
        assert!(check(vector.message, &format!(" {front}\n  {back}\r\n")).is_valid());
        for wrong in [
            format!("ful{body}"),
            format!("pof{body}"),
            format!("xyz{body}"),
        ] {
            assert_eq!(check(vector.message, &wrong), Verdict::Invalid, "{wrong}");
        }
        assert_eq!(check("another message", vector.signature), Verdict::Invalid);
        for wrong in ["", "smp", "smpAA==", "ful", "pof", "not base64!"] {
            assert_eq!(check(vector.message, wrong), Verdict::Invalid, "{wrong}");
        }
        for other in VECTORS.iter().filter(|it| it.address != vector.address) {
            let judged = check(vector.message, other.signature);
            assert_eq!(judged, Verdict::Invalid, "of another key");
        }
    }
}

#[test]
fn forms_have_names() {
    for form in Form::ALL {
        assert_eq!(form.as_str().parse(), Ok(form));
        let short = form.as_str().trim_start_matches("bip322-");
        assert_eq!(short.parse(), Ok(form));
    }
    let refused = "bip137".parse::<Form>().expect_err("none of ours");
    assert!(refused.contains("full-unprefixed"), "{refused}");
}
