use proptest::prelude::*;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Directory(dir.path().join("store"))).unwrap();
    (dir, store)
}

#[tokio::test]
async fn a_file_is_invisible_until_it_is_whole() {
    let (dir, store) = store();
    let mut upload = store.upload("s-1/0/1/a b#%ä.pck", None).await.unwrap();
    let piece = Bytes::from(vec![7; 3 << 20]);
    for _ in 0..5 {
        upload.write(piece.clone()).await.unwrap();
    }
    assert_eq!(store.size("s-1/0/1/a b#%ä.pck").await.unwrap(), None);
    let receipt = upload.finish().await.unwrap();
    assert_eq!(receipt.size, 15 << 20);
    assert_eq!(store.size("s-1/0/1/a b#%ä.pck").await.unwrap(), Some(15 << 20));
    let on_disk = std::fs::read(dir.path().join("store/s-1/0/1/a b#%ä.pck")).unwrap();
    assert_eq!(on_disk, vec![7; 15 << 20], "the name on disk is the name that was given");
    let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&on_disk).into();
    assert_eq!(receipt.sha256, expected);
}

#[tokio::test]
async fn an_aborted_file_leaves_nothing() {
    let (dir, store) = store();
    let mut upload = store.upload("s-1/0/1/x", None).await.unwrap();
    upload.write(Bytes::from_static(b"half")).await.unwrap();
    upload.abort().await.unwrap();
    let left = std::fs::read_dir(dir.path().join("store/s-1/0/1")).map(Iterator::count);
    assert_eq!(left.unwrap_or(0), 0);
}

#[tokio::test]
async fn what_a_killed_writer_left_is_removed_by_the_next() {
    let (dir, store) = store();
    let at = dir.path().join("store/s-1/0/1");
    std::fs::create_dir_all(&at).unwrap();
    for left in ["x#1", "x#2", "y#1"] {
        std::fs::write(at.join(left), "half").unwrap();
    }
    let mut upload = store.upload("s-1/0/1/x", None).await.unwrap();
    store.clear("s-1/0/1/x").await.unwrap();
    upload.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
    upload.finish().await.unwrap();
    let mut left: Vec<_> = std::fs::read_dir(at).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["x", "y#1"], "the other one is not its own");
}

#[tokio::test]
async fn a_directory_that_lost_its_marker_is_not_written_to() {
    let (dir, mut store) = store();
    let id = store.claim().await.unwrap();
    assert_eq!(store.claim().await.unwrap(), id);
    store.prove_shared().await.unwrap();
    std::fs::remove_file(dir.path().join("store/.btctl-store")).unwrap();
    let begun = std::time::Instant::now();
    while store.create("x", Bytes::new()).await.is_ok() {
        assert!(begun.elapsed().as_secs() < 60, "the store did not notice that its marker is gone");
    }
    assert!(matches!(store.create("x", Bytes::new()).await, Err(Error::Gone { .. })));
    assert!(matches!(store.upload("x", None).await, Err(Error::Gone { .. })));
    assert!(matches!(store.size("x").await, Err(Error::Gone { .. })));
    assert!(!store.recognise(id).await.unwrap());
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (_dir, store) = store();
    let receipt = store.upload("s/0/1/empty", None).await.unwrap().finish().await.unwrap();
    assert_eq!(receipt.size, 0);
    assert_eq!(store.size("s/0/1/empty").await.unwrap(), Some(0));
}

#[tokio::test]
async fn names_are_kept_or_refused() {
    let (_dir, store) = store();
    for name in ["../x", "/etc/passwd", "a/../b", "a//b", "a/", "a\nb", ".", "a/x#1", "x#007"] {
        assert!(matches!(store.upload(name, None).await, Err(Error::Name { .. })), "{name:?}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = Store::open(&Location::Directory(dir.path().join("file/store"))).unwrap_err();
    assert!(error.to_string().contains("file/store"), "{error}");
}

#[tokio::test]
async fn the_longest_name_is_kept_and_nothing_else_is_left() {
    let (dir, store) = store();
    for length in [246, 247, 248, 253, 255] {
        let path = format!("s/0/1/{}", "n".repeat(length));
        let mut upload = store.upload(&path, None).await.unwrap();
        upload.write(Bytes::from_static(b"larger")).await.unwrap();
        assert_eq!(store.size(&path).await.unwrap(), None);
        assert_eq!(upload.finish().await.unwrap().path, path);
        let other = store.create(&path, Bytes::from_static(b"small")).await.unwrap().path;
        let name = other.rsplit('/').next().unwrap();
        assert!(other != path && name.len() <= 255, "{other}");
        for (path, content) in [(path, &b"larger"[..]), (other, b"small")] {
            assert_eq!(std::fs::read(dir.path().join("store").join(&path)).unwrap(), content);
        }
    }
    assert_eq!(std::fs::read_dir(dir.path().join("store/s/0/1")).unwrap().count(), 10);
    store.create("s/0/1/a#b", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_over() {
    let (dir, store) = store();
    let begun = async |content: &'static [u8]| {
        let mut upload = store.upload("s/0/1/x", None).await.unwrap();
        upload.write(Bytes::from_static(content)).await.unwrap();
        upload
    };
    let (late, same, large) = (begun(b"late").await, begun(b"first").await, vec![7; 3 << 20]);
    let first = store.create("s/0/1/x", Bytes::from_static(b"first")).await.unwrap();
    assert_eq!(first.path, "s/0/1/x");
    assert_eq!(same.finish().await.unwrap(), first, "the same is not stored twice");
    let late = late.finish().await.unwrap();
    assert_eq!(bt_model::layout::first_name(&late.path), Some("s/0/1/x"));
    let mut larger = store.upload("s/0/1/x", None).await.unwrap();
    larger.write(Bytes::from(large.clone())).await.unwrap();
    let larger = larger.finish().await.unwrap();
    let read = |path: &str| std::fs::read(dir.path().join("store").join(path)).unwrap();
    assert_eq!((read(&first.path), read(&late.path)), (b"first".to_vec(), b"late".to_vec()));
    assert_eq!(read(&larger.path), large);
    assert_eq!(std::fs::read_dir(dir.path().join("store/s/0/1")).unwrap().count(), 3);
}

#[tokio::test]
async fn what_is_there_is_listed_and_what_is_being_written_is_not() {
    let (_dir, store) = store();
    store.create("s/0/1/a", Bytes::from_static(b"12")).await.unwrap();
    store.create("s/0/1/b/c", Bytes::from_static(b"3")).await.unwrap();
    store.create("s/00/1/a", Bytes::new()).await.unwrap();
    let mut open = store.upload("s/0/1/open", None).await.unwrap();
    open.write(Bytes::from_static(b"half")).await.unwrap();
    let list = async |dir| {
        let listed: Vec<_> = store.list(dir).map(Result::unwrap).collect().await;
        let mut listed: Vec<_> = listed.into_iter().map(|file| (file.path, file.size)).collect();
        listed.sort();
        listed
    };
    assert_eq!(list("s/0").await, [("s/0/1/a".to_owned(), 2), ("s/0/1/b/c".to_owned(), 1)]);
    assert_eq!(list("").await.len(), 3);
    assert_eq!(list("none").await, []);
    open.abort().await.unwrap();
}

#[tokio::test]
async fn a_directory_goes_with_its_last_file() {
    let (dir, store) = store();
    store.create("s/0/1/a", Bytes::new()).await.unwrap();
    store.create("s/0/2/b", Bytes::new()).await.unwrap();
    store.remove("s/0/1/a").await.unwrap();
    assert!(!dir.path().join("store/s/0/1").exists() && dir.path().join("store/s/0/2/b").exists());
    store.remove("s/0/2/b").await.unwrap();
    store.remove("s/0/2/b").await.unwrap();
    assert!(!dir.path().join("store/s").exists() && dir.path().join("store").exists());
}

proptest! {
    #[test]
    fn a_name_is_kept_as_it_is_within_the_store_or_refused(name in "[a./~#0-9%\\\\ \\n]{0,12}|\\PC{0,40}|(a/){0,600}x") {
        let (_dir, store) = store();
        match store.parse(&name) {
            Ok(path) => {
                prop_assert_eq!(path.as_ref(), name.as_str());
                prop_assert!(name.split('/').all(|part| !["", ".", ".."].contains(&part)), "{:?}", name);
            }
            Err(refused) => {
                let said = refused.to_string();
                prop_assert!(!said.is_empty() && !said.contains(char::is_control), "{:?}", said);
            }
        }
    }
}
