// Bounds: descriptors (a quarter of what the process may open), bytes of tables, files. See file_cache.h.
#include "file_cache.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "elf_header.h"
#include "file_owner.h"
#include "mapped_file.h"
#include "rooted_open.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxSymbolBytes = 128ull << 20;  // the least recently used tables go first, and can be read again
constexpr size_t kMaxFiles = 65536;
constexpr size_t kMaxIdentities = 1u << 18;

int DescriptorBudget() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit)) return 128;
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 4, 64, 4096));
}

}  // namespace

FileCache::FileCache() : max_descriptors_(DescriptorBudget()) {
  struct stat st;
  if (!stat("/", &st)) own_root_device_ = st.st_dev, own_root_inode_ = st.st_ino;
}

std::shared_ptr<FileCache::Root> FileCache::RootOf(uint32_t pid) {
  auto root = std::make_shared<Root>();
  root->fd = OpenRoot(pid);
  struct stat st;
  if (!root->fd || fstat(root->fd.get(), &st)) return nullptr;
  if (st.st_dev == own_root_device_ && st.st_ino == own_root_inode_) return nullptr;
  if (roots_.size() > kMaxFiles) roots_.clear();
  std::weak_ptr<Root>& known = roots_[{st.st_dev, st.st_ino}];
  if (auto shared = known.lock()) return shared;
  known = root;
  return root;
}

// The same program under another path (another container's, say) is the same slot.
std::shared_ptr<FileCache::Slot>& FileCache::SlotOf(const Opened& opened) {
  std::shared_ptr<Slot>& slot = by_key_[opened.key];
  if (slot) return slot;
  if (opened.content.empty()) return slot = std::make_shared<Slot>();
  std::shared_ptr<Slot>& shared = by_content_[opened.content];
  if (!shared) shared = std::make_shared<Slot>();
  return slot = shared;
}

FileCache::Opened FileCache::Open(uint32_t pid, const Mapping& m) {
  // one stat tells whether the file is known: identity and time of its last change
  const std::string identity = IdentityOf(pid, m);
  const std::string identity_key = identity + ":" + m.path;

  std::lock_guard<std::mutex> lock(mutex_);
  auto known = by_identity_.find(identity_key);
  if (known != by_identity_.end()) {
    const Slot& slot = *SlotOf(known->second);
    if (slot.file || slot.no_elf) return known->second;
  }
  UniqueFd fd = OpenMapped(pid, m);
  Opened opened{"", fd ? ReadBuildId(fd.get()) : "", ""};
  if (fd) opened.content = ContentOf(fd.get(), opened.build_id);
  if (auto shared = by_content_.find(opened.content);
      shared != by_content_.end() && shared->second->file && HasChanged(shared->second->file->identity, identity))
    opened.content.clear();
  opened.key = m.path + '\n' + (opened.content.empty() ? identity : opened.content);
  if (by_key_.size() >= kMaxFiles && !by_key_.count(opened.key)) {
    failed_++;
    return {};
  }
  Slot* slot = SlotOf(opened).get();
  if (slot->file || slot->no_elf) {
    by_identity_[identity_key] = opened;
    return opened;
  }
  if (fd && descriptors_ >= max_descriptors_) CloseOldest();
  if (!fd || descriptors_ >= max_descriptors_) {
    // it may be of this process only (it has ended): the next one that maps the file gets its own try
    failed_++;
    return opened;
  }
  slot->file = std::make_shared<File>();
  slot->file->path = m.path;
  slot->file->identity = identity;
  slot->file->fd = std::move(fd);
  slot->file->root = RootOf(pid);
  slot->file->last_used = ++clock_;
  opened_++;
  descriptors_++;
  if (by_identity_.size() >= kMaxIdentities) by_identity_.clear();  // only a short cut: keys and slots stay
  by_identity_[identity_key] = opened;
  return opened;
}

void FileCache::Attach(uint32_t module, const std::string& key) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto slot = by_key_.find(key);
  if (slot != by_key_.end()) by_module_[module] = slot->second;
}

std::shared_ptr<FileCache::File> FileCache::FileBehind(uint32_t module, std::shared_ptr<Slot>* slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = by_module_.find(module);
  if (it == by_module_.end() || !it->second->file) return nullptr;
  *slot = it->second;
  (*slot)->file->last_used = ++clock_;
  return (*slot)->file;
}

bool FileCache::With(uint32_t module, const std::function<bool(int file, int root)>& use) {
  std::shared_ptr<Slot> slot;
  const std::shared_ptr<File> file = FileBehind(module, &slot);
  return file && use(file->fd.get(), file->root ? file->root->fd.get() : -1);
}

std::string FileCache::NameAt(uint32_t module, uint64_t file_offset) {
  std::shared_ptr<Slot> slot;
  std::shared_ptr<File> file = FileBehind(module, &slot);
  if (!file) return "";
  if (!file->symbols) {
    // the long part, without the mutex
    file->symbols = std::make_unique<ElfSymbols>(
        ElfSymbols::Load(file->fd.get(), file->path, file->root ? file->root->fd.get() : -1));
    std::lock_guard<std::mutex> lock(mutex_);
    if (slot->file == file) {  // else it was closed meanwhile, and is no longer counted
      file->bytes = file->symbols->bytes();
      file->descriptors = 1 + file->symbols->own_descriptors();
      symbol_bytes_ += file->bytes;
      descriptors_ += file->descriptors - 1;
      if (!std::exchange(file->counted, true)) refused_ += static_cast<uint64_t>(file->symbols->refused());
      if (!file->symbols->parsed()) {
        failed_++;
        slot->no_elf = true;
        Drop(slot.get());
      }
      FreeTables(file.get());
    }
  }
  if (!file->stamp) file->stamp = file->symbols->stamp();
  std::string name = file->symbols->NameAt(file_offset);
  if (file->symbols->changed()) NoteChanged(file.get());
  return name;
}

std::optional<uint64_t> FileCache::BeginAt(uint32_t module, uint64_t file_offset) {
  std::shared_ptr<Slot> slot;
  std::shared_ptr<File> file = FileBehind(module, &slot);
  if (!file || !file->symbols) return {};
  return file->symbols->BeginAt(file_offset);
}

void FileCache::NoteChanged(File* file) {
  if (std::exchange(file->changed, true)) return;
  std::lock_guard<std::mutex> lock(mutex_);
  changed_++;
}

uint64_t FileCache::FileOf(uint32_t module) {
  std::shared_ptr<Slot> slot;
  return reinterpret_cast<uintptr_t>(FileBehind(module, &slot).get());
}

std::vector<SourcePlace> FileCache::PlacesAt(uint32_t module, uint64_t file_offset, const std::atomic<bool>* stop) {
  std::shared_ptr<Slot> slot;
  std::shared_ptr<File> file = FileBehind(module, &slot);
  if (!file) return {};
  if (file != sources_of_) {
    sources_.reset();  // before the next one takes memory
    sources_of_ = file;
    if (!file->stamp) file->stamp = FileStamp(file->fd.get());
    // what was written over since is another program's
    if (file->stamp->Holds(file->fd.get()))
      sources_ =
          std::make_unique<SourceLines>(file->fd.get(), file->path, file->root ? file->root->fd.get() : -1, stop);
    else
      NoteChanged(file.get());
  }
  if (!sources_) return {};
  const bool refused_before = file->debug_refused;
  std::vector<SourcePlace> places = sources_->At(file_offset);
  file->debug_refused = sources_->refused();
  if (file->debug_refused && !refused_before) {
    std::lock_guard<std::mutex> lock(mutex_);
    debug_refused_++;
  }
  return places;
}

void FileCache::Drop(Slot* slot) {
  descriptors_ -= slot->file->descriptors;
  symbol_bytes_ -= slot->file->bytes;
  slot->file.reset();
}

// Of more files than descriptors the one that nobody asked for longest loses its names from here on, until a process
// that maps it is seen again.
void FileCache::CloseOldest() {
  Slot* oldest = nullptr;
  for (auto& [key, slot] : by_key_)
    if (slot->file && (!oldest || slot->file->last_used < oldest->file->last_used)) oldest = slot.get();
  if (oldest) Drop(oldest);
}

// Symbol thread, under the mutex. The descriptors stay: a table that was freed can be read again.
void FileCache::FreeTables(const File* keep) {
  while (symbol_bytes_ > kMaxSymbolBytes) {
    File* oldest = nullptr;
    for (auto& [key, slot] : by_key_)
      if (slot->file && slot->file->symbols && slot->file.get() != keep &&
          (!oldest || slot->file->last_used < oldest->last_used))
        oldest = slot->file.get();
    if (!oldest) return;
    symbol_bytes_ -= oldest->bytes;
    descriptors_ -= oldest->descriptors - 1;
    oldest->bytes = 0;
    oldest->descriptors = 1;
    oldest->symbols.reset();
  }
}

void FileCache::AddTo(SymbolStats* stats) {
  std::lock_guard<std::mutex> lock(mutex_);
  stats->files_opened += opened_;
  stats->files_failed += failed_;
  stats->tables_refused += refused_;
  stats->cache_bytes += symbol_bytes_;
  stats->debug_files_refused += debug_refused_;
  stats->files_changed += changed_;
}

}  // namespace lowflame
