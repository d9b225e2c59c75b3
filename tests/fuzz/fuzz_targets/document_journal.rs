//! A journal: a document opens with the records that are whole, or says what is damaged; and opens
//! again with what it wrote.
#![no_main]

use distflow_core::JsonCrdt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = std::env::temp_dir().join(format!("distflow-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("journal-0"), data).unwrap();
    let open = || JsonCrdt::open(&folder, "A", "{}", Default::default());
    if let Ok(document) = open() {
        let _ = document.set(["own"], 1);
        let text = document.canonical();
        drop(document);
        assert_eq!(open().unwrap().canonical(), text);
    }
    std::fs::remove_dir_all(&folder).unwrap();
});
