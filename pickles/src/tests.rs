use proptest::prelude::*;

use super::*;

fn names(bytes: &[u8]) -> Vec<(String, Standing, u64, u64)> {
    let found = inspect(bytes).unwrap();
    found.names.into_iter().map(|name| (name.name, name.standing, name.used, name.called)).collect()
}

fn called(name: &str, standing: Standing) -> Vec<(String, Standing, u64, u64)> {
    vec![(name.to_owned(), standing, 1, 1)]
}

#[test]
fn plain_data_imports_nothing() {
    // pickle.dumps({"a": [1, 2.5, None], "b": ("x", b"y")}, protocol)
    let four = b"\x80\x04\x95%\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G@\x04\x00\x00\x00\x00\x00\x00Ne\x8c\x01b\x94\x8c\x01x\x94C\x01y\x94\x86\x94u.";
    let found = inspect(&four[..]).unwrap();
    assert_eq!((found.protocol, found.pickles, found.bytes), (4, 1, four.len() as u64));
    assert!(found.names.is_empty());
    assert_eq!((found.payload, found.longest), (4, 1));
    let zero = b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\naNas.";
    assert_eq!(inspect(&zero[..]).unwrap().protocol, 0);
}

#[test]
fn what_would_be_called_is_named_in_all_protocols() {
    for attack in [
        // class A: __reduce__ = lambda self: (os.system, ("id",))
        &b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n."[..],
        b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.",
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        b"(Vid\niposix\nsystem\n.",
        b"(cposix\nsystem\nVid\no.",
    ] {
        assert_eq!(names(attack), called("posix.system", Standing::Dangerous), "{attack:?}");
    }
    assert_eq!(names(b"c__builtin__\neval\n(V1\ntR."), called("builtins.eval", Standing::Dangerous));
    assert_eq!(names(b"cmine.models\nModel\n)\x81."), called("mine.models.Model", Standing::Unknown));
    let array = b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x00(K\x00tRq\x01(K\x01tb.";
    assert_eq!(names(array), called("numpy.core.multiarray._reconstruct", Standing::Usual));
}

#[test]
fn names_that_are_hidden_are_counted() {
    // getattr(os, "system")("id"): what is called is computed.
    let computed = b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(Vos\ntRVsystem\ntR(Vid\ntR.";
    let found = inspect(&computed[..]).unwrap();
    assert_eq!((found.names.len(), found.computed_calls), (2, 1));
    assert!(found.names.iter().all(|name| name.standing == Standing::Dangerous));
    // The texts that make a name come from the memo.
    let memo = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R.";
    assert_eq!(names(memo), called("posix.system", Standing::Dangerous));
    let escaped = b"\x80\x04V\\u0070osix\nS'\\x73ys\\164em'\n\x93\x8c\x02id\x85R.";
    assert_eq!(names(escaped), called("posix.system", Standing::Dangerous));
    let computed = b"\x80\x04\x8c\x02os\x8c\x06system\x85\x93)R.";
    let found = inspect(&computed[..]).unwrap();
    assert_eq!((found.unnamed, found.computed_calls), (1, 1));
    assert_eq!(inspect(&b"Vx\nQ."[..]).unwrap().elsewhere, 1);
}

#[test]
fn several_pickles_are_one_file() {
    let found = inspect(&b"K\x01.K\x02.cos\ngetcwd\n)R."[..]).unwrap();
    assert_eq!((found.pickles, found.names[0].name.as_str()), (3, "os.getcwd"));
}

#[test]
fn what_is_broken_says_where() {
    for (bytes, part) in [
        (&b""[..], "it is empty"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"{\"a\": 1}", "JSON"),
        (b"K\x01", "byte 2: it ends before it stops"),
        (b"X\xff\xff\xff\xffabc", "it ends in the middle"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa", "it ends in the middle"),
        (b"K\x01\xfe", "byte 2: 0xfe is no opcode"),
        (b"R.", "the stack is empty"),
        (b"K\x01t.", "there is no mark"),
        (b"h\x07.", "the memo has nothing at 7"),
        (b"gx\n.", "is no place of the memo"),
        (b"\x80\x09.", "protocol 9 is not known"),
        (b"(00.", "the stack is empty"),
    ] {
        let error = inspect(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?}: {error}");
    }
}

#[test]
fn a_bomb_takes_bounded_memory() {
    // Marks, values and memos without end.
    for unit in [&b"("[..], b"K\x01", b"K\x01\x94", b"]\x94h\x00"] {
        let bomb = unit.iter().copied().cycle().take(17_000_000).collect::<Vec<u8>>();
        let ended = inspect(&bomb[..]);
        assert!(ended.is_err(), "{unit:?}");
    }
    // A billion laughs: ten lists, each ten times in the next. Nothing is made, so nothing grows.
    let mut laughs = b"]\x94".to_vec();
    for level in 0..10u8 {
        laughs.extend(b"](");
        laughs.extend([b'h', level].repeat(10));
        laughs.extend(b"e\x94");
    }
    laughs.push(b'.');
    assert!(inspect(&laughs[..]).unwrap().opcodes < 200);
    // A long text is skipped.
    let length = 1u32 << 26;
    let head = [&b"X"[..], &length.to_le_bytes()].concat();
    let found = inspect(head.chain(std::io::repeat(b'a').take(u64::from(length))).chain(&b"."[..])).unwrap();
    assert_eq!((found.longest, found.bytes), (1 << 26, (1 << 26) + 6));
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        inspect(&bytes[..]).ok();
    }

    #[test]
    fn any_program_has_an_answer(program in proptest::collection::vec(prop_oneof![
        Just(b'('), Just(b'0'), Just(b'1'), Just(b'2'), Just(b'N'), Just(b'R'), Just(b't'), Just(b'e'), Just(b'b'), Just(b'o'),
        Just(b']'), Just(0x81), Just(0x85), Just(0x87), Just(0x93), Just(0x94), Just(b'.'),
    ], 0..60)) {
        inspect(&program[..]).ok();
    }
}
